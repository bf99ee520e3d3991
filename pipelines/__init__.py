"""From rows to a pull request: thin; calls model/ for what is learned and rollout/ for what is proposed."""
