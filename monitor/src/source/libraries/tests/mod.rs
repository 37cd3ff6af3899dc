mod examine;
mod fake;
mod finder;
mod real;
mod tables;
