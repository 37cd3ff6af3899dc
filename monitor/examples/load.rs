use bailiwick::source::{Event, Source, kernel::{Kernel, KernelSettings}};
fn main() {
    let mut k = match Kernel::load(&KernelSettings { ring_bytes: 16<<20, process_bytes_per_second: 4<<20, monitor_pid: std::process::id(), secret: 12345 }) { Ok(k)=>k, Err(e)=>{ eprintln!("{e}\nhint: {}", e.hint()); std::process::exit(1);} };
    eprintln!("{:?}", k.hooks());
    for _ in 0..4000 { k.drain(10000, &mut |e| match e {
        Event::Data(d,b)=>{ let _=(d,b); }
        Event::Exec(x)=>println!("EXEC tgid {} ppid {} flags {} {:?}", x.tgid, x.ppid, x.header.flags, String::from_utf8_lossy(&x.path[..x.header.len as usize])),
        Event::Open(o)=>println!("OPEN sock {} tgid {} fam {} {}->{} flags {} path {:?}", o.sock,o.tgid,o.family,o.local_port,o.remote_port,o.header.flags, String::from_utf8_lossy(&o.path[..o.header.len as usize])),
        o=>println!("{o:?}")}); std::thread::sleep(std::time::Duration::from_millis(2)); }
    eprintln!("{:?}", k.counters());
}
