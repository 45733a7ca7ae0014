/* The C no-op that looks at each of a directory's registrations before it ends: what the kernel
 * asks for a comparison of them all, and for nothing else.
 *
 *   look DIRECTORY COUNT [ARGUMENT...]      looks at DIRECTORY/0.yaml, 1.yaml, ...
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
    struct stat found;
    char name[32];
    int directory = argc < 3 ? -1 : open(argv[1], O_PATH | O_CLOEXEC);

    if (directory < 0)
        return 2;
    for (int i = 0, count = atoi(argv[2]); i < count; i++) {
        snprintf(name, sizeof name, "%d.yaml", i);
        if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) != 0)
            return 1;
    }
    return 0;
}
