"""The merge guard's work on git repositories: what came, its test, and taking it back without losing a byte.

Read `attending` first: it is one check from beginning to end, and calls all else. The agent `merge-check` runs it; the
coordinator and `quantum merge` use the parts that need no check. Nothing here knows a service.

What came
    `arrival`     what has just come by a merge or a pull, read from the repository itself
    `pushed`      whether others may have it

Whether it is good
    `scratch`     a repository apart from the user's, in which commits are merged and tested; `borrowing` makes it
    `smoke`       which test, by the tree before the merge
    `running`     one run of it; `leftovers_linux`, `leftovers_darwin` end what it leaves behind
    `checking`    run after run until something is proved; `verdict` has the rule, `bisect` finds the culprit
    `dependencies` whether a test is red only for want of a package that came to be needed

What is done about it
    `confirming`  asks Quantum whether the branch may be moved
    `rollback`    takes a bad merge back; `undo` brings it back; `enter` lets one in that was tested before
    `propose`     a branch without it, where it must not be taken back
    `evidence`    what people and programs are told

How a branch is moved
    `moving`      all of it or nothing; `touching` says whose work is in the way, `locks` are git's own, `names` keep
                  what is saved into a file in that very moment
    `intent`      the record that survives a crash; `doctor` and `restoring` mend by it

Underneath
    `git`         the one way in which git is run
    `repository`  where it is, what state it is in, and the guard's lock on it
    `values`      the words of all of this
"""
