"""The doctor's looks at the world; each returns a part of the view and raises nothing."""
