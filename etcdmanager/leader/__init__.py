"""What the leading manager sees (view, observe), decides (rules, decide) and does (actions, execute), in a loop."""
