#!/usr/bin/python3
"""Proves from its symbols what the library promises: symbols.py NM LIBMOTE_A [LIBMOTE_SO]

libmote.a: nothing that prints, exits or aborts, no C++ exceptions thrown, no locks or threads outside the platform
folder, no writable globals. libmote.so: exports names that begin with mote_ and nothing else.
"""
import re
import subprocess
import sys

# What no object of the library may ask for. Matched against the whole name.
FORBIDDEN = {
    r"(_?exit|_Exit|quick_exit|atexit|__cxa_atexit|__cxa_thread_atexit)": "exits, or runs code at exit",
    r"(abort|raise|kill|__assert_fail|_ZSt9terminatev|_ZSt21__glibcxx_assert_fail.*|__cxa_pure_virtual_called)": "aborts",
    r"(v?printf|v?fprintf|__v?f?printf_chk|puts|fputs|putchar|fputc|putc|fwrite|perror|psignal|write|syslog"
    r"|stdin|stdout|stderr)": "prints",
    r"(_ZSt4c(in|out|err)|_ZSt4clog|_ZNSt8ios_base.*|_ZNSo.*|_ZNSi.*)": "uses iostream",
    r"(__cxa_throw|__cxa_rethrow|__cxa_allocate_exception|__cxa_begin_catch)": "throws or catches",
    r"(_ZTI.*|__dynamic_cast)": "uses run-time type information",
    r"(setlocale|uselocale|strtok|rand|srand|getenv|secure_getenv|setenv|gmtime|localtime|asctime|ctime|strerror)":
        "depends on, or changes, the state of the process",
    r"(strtod|strtof|strtold|atof|v?sscanf|__isoc\d+_v?sscanf)": "reads numbers as the process's locale writes them",
    r"(gets|strcpy|strcat|sprintf|vsprintf|__sprintf_chk|alloca|system|popen)": "is unsafe",
    r"(__cxa_guard_acquire)": "is a static local that is built at run time: a hidden global and a hidden lock",
}
# Exceptions by object file, each with its reason. Everything else that the C++ library does when an invariant of ours
# is broken (std::__throw_length_error, std::__throw_bad_alloc, __stack_chk_fail, __chk_fail) ends the process, and is
# allowed: a process whose memory is corrupt must not go on. Sizes from outside are checked before they get there.
ALLOWED = [
    (r".*", r"__cxa_pure_virtual", "the unreachable entry of every abstract class"),
    (r"(threads?|thread_pool|platform|topology|monitor)\.cc\.o", r"__cxa_begin_catch|_ZTI.*|_ZSt9terminatev",
     "std::thread throws where a thread cannot be started; targets/cpu/platform turns that into a Status"),
    (r".*\.cu\.o", r"atexit|__cxa_guard_acquire", "nvcc's own registration of kernels, and its handle of each"),
]
# nvcc's handles of kernels, which it makes when they are first launched.
NVCC_GLOBALS = re.compile(r".*__cudaFatCubinHandle|.*__device_stub.*")
# Sections whose contents change while the program runs. (.data.rel.ro holds constants with addresses in them: the loader
# fills them in and makes them read-only.)
WRITABLE = re.compile(r"^(\.data(?!\.rel\.ro).*|\.bss.*|\.tdata.*|\.tbss.*|\*COM\*)$")
EXPORTED = re.compile(r"^mote_[a-z0-9_]+$")
# Linker-made absolute names and the version node.
EXPORTED_BESIDES = re.compile(r"^(_init|_fini|__bss_start|_edata|_end)$")


def nm(*arguments):
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout


def allowed(member, name):
    return any(re.fullmatch(where, member) and re.fullmatch(what, name) for where, what, _ in ALLOWED)


def check_archive(tool, library):
    members, symbols, wrong = set(), 0, []
    member = None
    for line in nm(tool, "--format=sysv", library).splitlines():
        heading = re.match(r"^(?:Undefined s|S)ymbols from .*\[(\S+)\]:$", line)
        if heading:
            member = heading.group(1)
            members.add(member)
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 7 or fields[0] == "Name":
            if line and not heading and not line.startswith("Name "):
                sys.exit(f"{library}: not understood: {line}")
            continue
        name, kind, section = fields[0], fields[2], fields[6]
        symbols += 1
        if kind in "Uw":
            for pattern, reason in FORBIDDEN.items():
                if re.fullmatch(pattern, name.split("@")[0]) and not allowed(member, name):
                    wrong.append(f"{member}: {name}: {reason}")
        elif member.endswith(".cu.o") and NVCC_GLOBALS.fullmatch(name):
            continue
        elif WRITABLE.match(section) and not name.startswith("DW.ref."):  # the compiler's, for unwinding
            wrong.append(f"{member}: {name}: writable global data ({section})")
    if len(members) < 3:
        sys.exit(f"{library}: only {len(members)} objects; is this the library?")
    print(f"{library}: {len(members)} objects, {symbols} symbols, {len(wrong)} forbidden")
    return wrong


def check_shared(tool, library):
    wrong, exported = [], 0
    for line in nm(tool, "-D", "--defined-only", library).splitlines():
        name = line.split()[-1].split("@")[0]
        if EXPORTED.match(name):
            exported += 1
        elif not EXPORTED_BESIDES.match(name):
            wrong.append(f"{library} exports {name}")
    if not exported:
        wrong.append(f"{library} exports no function of the API")
    print(f"{library}: {exported} functions exported")
    return wrong


def main():
    tool, archive, *shared = sys.argv[1:]
    wrong = check_archive(tool, archive)
    for library in shared:
        wrong += check_shared(tool, library)
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
