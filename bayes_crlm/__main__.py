"""`python -m bayes_crlm` is `bayes-crlm`."""

import sys

from bayes_crlm.cli.main import main

sys.exit(main())
