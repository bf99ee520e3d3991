"""`python -m pipelines`."""

import sys

from model.app import skip_unused_imports
from pipelines.cli import main

if sys.argv[1:2] == ["learn"]:  # MLflow needs what the learners' libraries do not
    skip_unused_imports(["sklearn"])  # Parquet's library looks for pandas
sys.exit(main())
