"""How often a gate kills a good model, and how many requests a bad one hurts before it is gone: measured by simulation.

    rollout simulate [--scenarios FILE] [--policies ours,flagger] [--runs N] [--seed S] [--json | --markdown] [--plot FILE]
    rollout simulate --model [--scenarios FILE] [--runs N] [--seed S] [--json | --markdown]

| file           | what it knows                                                                       |
|----------------|-------------------------------------------------------------------------------------|
| scenarios.yaml | the published scenarios                                                             |
| scenario.py    | what a scenario may say                                                             |
| world.py       | who asks whom, and what fails                                                       |
| twin.py        | the production gate for many rollouts at once, equal to rollout.gate                |
| policies.py    | ours, and the gates people use today, with their sources and their delays           |
| study.py       | the closed loop, and the figures with their intervals                               |
| conclusions.py | what the figures say of each goal, and whether another seed says the same           |
| report.py      | tables and pictures                                                                 |
| model_*        | the same for the model gates: scenarios, walks through the production code, table   |
| command.py     | the command                                                                         |

numpy does the work. The controller does not have it: nothing else in rollout imports this package.
"""
