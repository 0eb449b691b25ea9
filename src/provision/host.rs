//! The host under our hands: whole files, read and written inside one root directory.
