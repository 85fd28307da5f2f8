"""Models as Lightning modules, and the protocol that any model may fulfil."""
