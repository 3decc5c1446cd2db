"""What a trained model is used for: routing, forecasts, leaderboards, similarity, portfolios."""
