"""`python -m bayes_crlm.cli` is `bayes-crlm`."""

import sys

from bayes_crlm.cli.command_line import main

sys.exit(main())
