"""`python -m app` is the same command as `ostiary`."""

from app.cli import main

if __name__ == "__main__":
    main()
