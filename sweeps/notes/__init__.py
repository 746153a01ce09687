"""What trials and studies say of themselves in the dashboard."""
