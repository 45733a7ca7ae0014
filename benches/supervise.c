/* Runs the programs it is given one after the other and supervises each: a session of its own, a pipe for each of
 * its two output streams, read until its process has ended, and no orphan of it lost. The yardstick for a call that
 * runs hooks: what is asked of the kernel here, no supervisor can do without. It checks nothing, and keeps nothing.
 *
 * usage: supervise PROGRAM... */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Starts a program whose output goes into the two pipes; returns its number, or -1. */
static pid_t start(char *path, int out[2], int err[2])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *hook[] = {path, NULL};
    pid_t pid = -1;

    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    if (posix_spawn(&pid, path, &actions, &attributes, hook, environ))
        pid = -1;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    return pid;
}

/* Takes what is in a pipe; a pipe without a writer is looked at no more. */
static void take(struct pollfd *pipe)
{
    char part[16384];

    if (pipe->revents && read(pipe->fd, part, sizeof part) <= 0)
        pipe->fd = -1;
}

/* Runs one program to its end; tells whether it was good. */
static int run(char *path, int signals)
{
    int out[2], err[2], status = -1;
    pid_t pid = start(path, out, err);
    struct pollfd waits[3] = {{signals, POLLIN, 0}, {out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
    struct signalfd_siginfo info;

    if (pid < 0)
        return 0;
    for (;;) {
        siginfo_t end = {0};

        if (poll(waits, 3, -1) < 0 && errno != EINTR)
            break;
        take(&waits[1]);
        take(&waits[2]);
        if (!waits[0].revents)
            continue;
        while (read(signals, &info, sizeof info) > 0)
            ;
        if (waitid(P_PID, pid, &end, WEXITED | WNOHANG) == 0 && end.si_pid == pid) {
            status = end.si_code == CLD_EXITED ? end.si_status : -1;
            break;
        }
    }
    close(out[0]);
    close(err[0]);
    return status == 0;
}

int main(int argc, char **argv)
{
    sigset_t taken;
    int i, signals, worst = 0;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigemptyset(&taken);
    sigaddset(&taken, SIGCHLD);
    sigprocmask(SIG_BLOCK, &taken, NULL);
    signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    for (i = 1; i < argc; i++)
        if (signals < 0 || !run(argv[i], signals))
            worst = 1;
    return worst;
}
