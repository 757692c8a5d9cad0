"""Take a new release of the template: `make upgrade`."""

LINK, RECORD = RECORDS = (".cruft.json", ".template-answers.json")
UNDO = "git add --update . && git restore --source=HEAD --staged --worktree ."  # add: for files in conflict
