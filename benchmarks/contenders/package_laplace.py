"""The package with ``engine="laplace"``."""

from package import main

if __name__ == "__main__":
    main("laplace")
