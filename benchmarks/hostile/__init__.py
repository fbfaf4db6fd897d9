"""What hostile requests cost, beside a normal login."""
