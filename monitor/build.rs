//! Takes the built kernel programs into the binary.
fn main() {
    let out = std::path::Path::new(&std::env::var("OUT_DIR").unwrap()).join("bailiwick.o");
    std::fs::copy("../target/bpf/bailiwick.o", out).unwrap();
}
