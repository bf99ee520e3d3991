"""The models: features, training, evaluation, serving. Knows nothing of pipelines, git or clusters."""
