/* Stands for hookmux in the tests of the packages: /stub does its work, and it has hookmux's marker. */
#include <unistd.h>

__attribute__((used)) static const char marker[] = "\x7fhookmux-hook-program\x7f\x01\x7f";

int main(int argc, char **argv) {
    char *arguments[16] = {"sh", "/stub", VERSION};
    for (int i = 1; i < argc && i < 12; i++) {
        arguments[i + 2] = argv[i];
    }
    execv("/bin/sh", arguments);
    return 127;
}
