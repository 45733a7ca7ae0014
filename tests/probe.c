/* Prints all that a program can see of how it was started, a fact a line: `name: value`.
 * Compiled with -DOUT="file": what it prints lies there, for standard output is part of what it sees. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;
static FILE *out;

static void file(const char *name, const char *path) {
    char text[4096] = "";
    FILE *from = fopen(path, "r");
    if (from) {
        size_t got = fread(text, 1, sizeof text - 1, from);
        text[got] = 0;
        fclose(from);
    }
    for (char *at = text; *at; at++)
        if (*at == '\n') *at = ' ';
    fprintf(out, "%s: %s\n", name, text);
}

static void descriptor(int fd) {
    struct stat found;
    static const char *modes[] = {"reads", "writes", "both", "path"};
    if (fstat(fd, &found) != 0) {
        if (fd < 3) fprintf(out, "descriptor %d: closed\n", fd);
        return;
    }
    int flags = fcntl(fd, F_GETFL);
    const char *kind = S_ISFIFO(found.st_mode) ? "pipe" : S_ISREG(found.st_mode) ? "file"
        : S_ISCHR(found.st_mode) ? "device" : S_ISSOCK(found.st_mode) ? "socket" : "other";
    fprintf(out, "descriptor %d: %s %s%s%s\n", fd, kind, modes[flags & O_ACCMODE],
            flags & O_NONBLOCK ? " nonblocking" : "", flags & O_APPEND ? " append" : "");
}

int main(int argc, char **argv) {
    /* the lowest free number is taken by the output: looked at before */
    char open_ones[1024];
    for (int fd = 0; fd < 1024; fd++) open_ones[fd] = fcntl(fd, F_GETFD) >= 0;
    mode_t mask = umask(0);
    out = fopen(OUT, "w");
    if (!out) return 99;
    for (int at = 0; at < argc; at++) fprintf(out, "argv[%d]: %s\n", at, argv[at]);
    fprintf(out, "argc: %d\n", argc);
    int at = 0;
    for (char **one = environ; *one; one++) {
        if (strncmp(*one, "HOOKMUX_", 8) == 0) {
            /* what these are called is one fact, what they say others test */
            fprintf(out, "HOOKMUX_*: set\n");
            continue;
        }
        fprintf(out, "variable %d: %s\n", at++, *one);
    }
    char directory[4096];
    fprintf(out, "directory: %s\n", getcwd(directory, sizeof directory) ? directory : "none");
    fprintf(out, "umask: %04o\n", mask);
    for (int limit = 0; limit < 16; limit++) {
        struct rlimit found;
        if (getrlimit(limit, &found) == 0)
            fprintf(out, "limit %d: %llu %llu\n", limit, (unsigned long long)found.rlim_cur,
                    (unsigned long long)found.rlim_max);
    }
    for (int fd = 0; fd < 1024; fd++)
        if (open_ones[fd] || fd < 3) descriptor(fd);
    fprintf(out, "session: %s\n", getsid(0) == getpid() ? "own" : "the caller's");
    fprintf(out, "group: %s\n", getpgrp() == getpid() ? "own" : "the caller's");
    int tty = open("/dev/tty", O_RDWR | O_NOCTTY);
    fprintf(out, "terminal: %s\n", tty < 0 ? "none" : "one");
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", getppid());
    file("parent", path);
    file("oom_score_adj", "/proc/self/oom_score_adj");
    file("cgroup", "/proc/self/cgroup");
    fprintf(out, "nice: %d\n", getpriority(PRIO_PROCESS, 0));
    fprintf(out, "policy: %d\n", sched_getscheduler(0));
    fprintf(out, "io priority: %ld\n", syscall(SYS_ioprio_get, 1, 0));
    fprintf(out, "timer slack: %d\n", prctl(PR_GET_TIMERSLACK));
    fprintf(out, "dumpable: %d\n", prctl(PR_GET_DUMPABLE));
    int value = 0;
    prctl(PR_GET_PDEATHSIG, &value);
    fprintf(out, "death signal: %d\n", value);
    prctl(PR_GET_CHILD_SUBREAPER, &value);
    fprintf(out, "subreaper: %d\n", value);
    fprintf(out, "secure: %lu\n", getauxval(AT_SECURE));
    FILE *status = fopen("/proc/self/status", "r");
    static const char *facts[] = {"Uid", "Gid", "Groups", "SigPnd", "ShdPnd", "SigBlk", "SigIgn",
        "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
        "Cpus_allowed", "Mems_allowed", "Umask", 0};
    char line[4096];
    while (status && fgets(line, sizeof line, status))
        for (const char **fact = facts; *fact; fact++) {
            size_t size = strlen(*fact);
            if (strncmp(line, *fact, size) == 0 && line[size] == ':' && strcmp(*fact, "Umask"))
                fprintf(out, "%s", line);
        }
    static const char *spaces[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts", 0};
    for (const char **space = spaces; *space; space++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", *space);
        ssize_t got = readlink(path, line, sizeof line - 1);
        line[got < 0 ? 0 : got] = 0;
        fprintf(out, "namespace %s: %s\n", *space, line);
    }
    unsigned long long bytes = 0, hash = 1469598103934665603ULL;
    unsigned char buffer[65536];
    ssize_t got;
    while ((got = read(0, buffer, sizeof buffer)) > 0) {
        bytes += got;
        for (ssize_t byte = 0; byte < got; byte++) hash = (hash ^ buffer[byte]) * 1099511628211ULL;
    }
    fprintf(out, "document: %llu bytes, %llx, then %s\n", bytes, hash, got == 0 ? "end" : "error");
    return fclose(out) == 0 ? 0 : 98;
}
