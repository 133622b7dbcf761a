"""`python -m privyseal` is the same program as `privyseal`."""

from privyseal.cli.main import main

if __name__ == "__main__":
    main()
