"""The grammar of `%experiment`; data only."""

from __future__ import annotations

from kernelkit.magics.grammar import Command, Flag, Magic

RECORDS = "RECORD RECORD"

EXPERIMENT = Magic(
    "%experiment",
    (
        Command(
            "begin",
            "begin an experiment with these variables of the notebook as its parameters, and bind it as run; "
            "results are kept by run.record(NAME, RESULT, unit=UNIT)",
            "run = kernelkit.experiment(NAME, VARIABLE=VARIABLE, ...)",
            argument="NAME [VARIABLE...]",
            required=True,
        ),
        Command(
            "end",
            "end it: the record has parameters, seeds, results, hosts, links, versions, commit and model",
            "record = run.end(); record.save(FILE)",
            flags=(Flag("save", "FILE", str, help="keep the record as JSON"),),
        ),
        Command("drop", "give it up without a record", "del run"),
        Command(
            "compare",
            "what differs between two records of one experiment, and whether tokens are the same; each is a "
            "file or a variable",
            "kernelkit.experiments.compare(RECORD, RECORD)",
            argument=RECORDS,
            required=True,
        ),
    ),
)
