"""Tries what AWS Lambda denies a function's processes, and then what it lets them do. Prints a line for each: what was tried, and
`allowed` or the name of the error. At the end, what the kernel says of the processes."""

import ctypes
import errno
import mmap
import multiprocessing
import multiprocessing.pool
import os
import platform
import resource
import signal
import socket
import subprocess
import tempfile

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
PTRACE_TRACEME = 0

# Numbers of system calls for which the C library has no function.
CLONE, BPF, PERF_EVENT_OPEN, USERFAULTFD = {
    "x86_64": (56, 321, 298, 323),
    "aarch64": (220, 280, 241, 282),
}[platform.machine()]
PIDFD_SEND_SIGNAL, IO_URING_SETUP, CLONE3 = 424, 425, 435

libc = ctypes.CDLL(None, use_errno=True)
fork = multiprocessing.get_context("fork")


def call(name, *arguments):
    arguments = [ctypes.c_long(it) if isinstance(it, int) else it for it in arguments]
    result = getattr(libc, name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


def clone_into_a_namespace():
    if call("syscall", CLONE, CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


def join_a_namespace():
    with open("/proc/self/ns/uts") as namespace:
        call("setns", namespace.fileno(), 0)


def write_in_shared_memory():
    with open("/dev/shm/denied", "w"):
        os.remove("/dev/shm/denied")


def open_a_pipe_by_path():
    reading, _writing = os.pipe()
    os.close(os.open(f"/dev/fd/{reading}", os.O_RDONLY))


def map_with(pool):
    with pool(1) as workers:
        workers.map(abs, [1])


def send_through_a_pipe():
    ours, theirs = fork.Pipe()
    process = fork.Process(target=theirs.send, args=("x" * 1_000_000,))
    process.start()
    ours.recv()
    process.join()


def connect(family, address):
    with socket.socket(family) as server, socket.socket(family) as client:
        server.bind(address)
        server.listen()
        client.connect(server.getsockname())


def connect_in_a_folder():
    with tempfile.TemporaryDirectory() as folder:
        connect(socket.AF_UNIX, f"{folder}/socket")


def map_a_file():
    with tempfile.TemporaryFile() as file:
        file.truncate(mmap.PAGESIZE)
        mmap.mmap(file.fileno(), 0).close()


TRIES = {
    "pdeathsig": lambda: call("prctl", PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0),
    "subreaper": lambda: call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0),
    "setsid": os.setsid,
    "setpgid": lambda: os.setpgid(0, 0),
    "unshare": lambda: call("unshare", CLONE_NEWUSER),
    "clone into a namespace": clone_into_a_namespace,
    "setns": join_a_namespace,
    "mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "chroot": lambda: os.chroot("/"),
    "setuid": lambda: os.setuid(os.getuid()),
    "setgid": lambda: os.setgid(os.getgid()),
    "ptrace": lambda: call("ptrace", PTRACE_TRACEME, 0, 0, 0),
    "bpf": lambda: call("syscall", BPF, 0, 0, 0),
    "perf_event_open": lambda: call("syscall", PERF_EVENT_OPEN, 0, 0, -1, -1, 0),
    "userfaultfd": lambda: call("syscall", USERFAULTFD, 0),
    "io_uring_setup": lambda: call("syscall", IO_URING_SETUP, 1, 0),
    "more open files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1_025, 1_025)),
    "clone3": lambda: call("syscall", CLONE3, 0, 0),
    "memfd_create": lambda: os.close(os.memfd_create("denied")),
    "pidfd_open": lambda: os.close(os.pidfd_open(os.getpid())),
    "pidfd_send_signal": lambda: call("syscall", PIDFD_SEND_SIGNAL, -1, 0, 0, 0),
    "/dev/shm": write_in_shared_memory,
    "/dev/shm: Semaphore": fork.Semaphore,
    "/dev/shm: Lock": fork.Lock,
    "/dev/shm: Queue": fork.Queue,
    "/dev/shm: Pool": lambda: map_with(fork.Pool),
    "/dev/shm: ThreadPool": lambda: map_with(multiprocessing.pool.ThreadPool),
    "/dev/fd/N": open_a_pipe_by_path,
    "/dev/fd/0": lambda: open("/dev/fd/0").close(),
    "/dev/stdout": lambda: open("/dev/stdout", "a").close(),
    "/dev/null": lambda: open("/dev/null", "w").close(),
    "Process and Pipe": send_through_a_pipe,
    "a command": lambda: subprocess.run(["true"], check=True),
    "a socket pair": lambda: [end.close() for end in socket.socketpair()],
    "a Unix socket": connect_in_a_folder,
    "loopback": lambda: connect(socket.AF_INET, ("127.0.0.1", 0)),
    "mmap of a file": map_a_file,
}

for name, attempt in TRIES.items():
    if os.fork() == 0:  # each in a process of its own: what is allowed after all may change the process that does it
        try:
            attempt()
            answer = "allowed"
        except OSError as error:
            answer = errno.errorcode[error.errno]
        except ValueError as error:  # Python's word for a limit that may not be raised
            answer = str(error)
        print(f"{name}: {answer}", flush=True)
        os._exit(0)
    os.wait()

with open("/proc/self/status") as status:
    for line in status:
        if line.startswith(("CapEff:", "CapPrm:", "Seccomp:")):
            print(" ".join(line.split()))
print("open files:", *resource.getrlimit(resource.RLIMIT_NOFILE))
