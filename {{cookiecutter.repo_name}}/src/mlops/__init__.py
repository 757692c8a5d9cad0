"""The machinery, the same for every problem: data, runs, training, bundles, serving, the platform's files.

`make upgrade` renews this package. It never imports the team's package, which hands it what it needs.
"""
