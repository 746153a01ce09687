"""The dashboard: its server, and what optuna-dashboard is shown of the store."""
