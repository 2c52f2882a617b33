"""How Azure is reached: identity, Azure OpenAI, and nothing else of the house knows how."""
