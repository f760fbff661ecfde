"""`python -m bayes_crlm` is `bayes-crlm`."""

import sys

from bayes_crlm.cli import main

sys.exit(main())
