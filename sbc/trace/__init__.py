"""What happened in a call, and how it is drawn: `recorder` keeps, `ladder` shows. Sans-IO; the engine alone writes."""
