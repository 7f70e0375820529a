"""`python -m kernelkit.rank`: one rank, started by an agent, never by hand."""

from kernelkit.rank.boot import main

if __name__ == "__main__":
    main()
