"""`nodeup doctor`: a frozen view of the machine (`view`, made by `looking`), and pure rules over it (`rules`, for `agents.diagnosis`)."""
