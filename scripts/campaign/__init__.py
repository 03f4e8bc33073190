"""The soundness campaign: an adversary that looks for a lie the circuits accept, for as long as it is given.

    python -m scripts.campaign [--seconds N] [--seed N] [--workers N] [--findings FOLDER]
                               [--json FILE] [--markdown FILE]

Random batches are executed and proved honestly up to the point where the engine would begin, some of them by several
segments that are cut between steps; then four attacks take turns on them:

- *lies* (`lies`): the machine, the trace, the events behind the replay of the state, or a table say something else, and
  everything that is derived later follows the lie;
- *cells* (`cells`): cells, rows, messages at both ends and public values of the filled tables change, many thousands of
  them at a time, with the repairs a liar would make;
- *witnesses* (`cells`): linear algebra looks for a second witness with the same messages;
- *crossings* (`crossing`): what two segments of a run have in common, rows on both sides of a cut, and what the
  segments state; all else is linked anew, and all segments are judged together.

What nothing rejects is a finding. It is minimised, saved as a file that holds all it takes to tell it again, and told
again by the tests.

May import of `scripts`: batches, forging.
"""
