//! Importing: what other tools' files become, that it loads, and that every key is accounted for.

#[path = "import/cli.rs"]
mod cli;
#[path = "import/properties.rs"]
mod properties;
#[path = "import/samples.rs"]
mod samples;
