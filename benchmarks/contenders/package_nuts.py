"""The package with ``engine="nuts"``."""

from package import main

if __name__ == "__main__":
    main("nuts")
