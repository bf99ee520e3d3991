"""`python -m pipelines`."""

import sys

from model.app import skip_unused_imports
from pipelines.cli import main

skip_unused_imports()
sys.exit(main())
