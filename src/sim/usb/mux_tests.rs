//! The phone's mux against a computer that does right, and one that does wrong.
