"""`python -m model`."""

import sys

from model.app import skip_unused_imports
from model.cli import main

skip_unused_imports()
sys.exit(main())
