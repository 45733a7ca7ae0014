/* Runs the programs it is given one after the other and supervises none of them:
 * the yardstick for a call that runs hooks. */
#include <spawn.h>
#include <stddef.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
    int i, status, worst = 0;
    pid_t pid;

    for (i = 1; i < argc; i++) {
        char *hook[] = {argv[i], NULL};

        if (posix_spawn(&pid, argv[i], NULL, NULL, hook, environ) || waitpid(pid, &status, 0) < 0 || status)
            worst = 1;
    }
    return worst;
}
