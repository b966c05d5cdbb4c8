"""`python -m ablate`."""

from ablate.commands.train import main

if __name__ == "__main__":
    main()
