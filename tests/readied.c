/* `privyseal` for the tests: has a process that has imported the product already fork and run the command.

   What the forked process has from us: arguments, environment, folder, umask, standard streams, and whether interrupts
   are ignored. Signals go on to it, and we end as it ended. Where the start itself matters, or cannot be had from there,
   we become the real program; tests/readied.py says when. SOCKET and REAL are given to the compiler. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static volatile int32_t child;

static void forward(int number) {
    if (child > 0) kill(child, number);
}

static int is_set(const char *name) {
    const char *value = getenv(name);
    return value && *value;
}

/* A process that only imported the product cannot change its encoding, its loader or its faults any more. */
static int needs_the_real_one(int argc, char **argv) {
    static const char *long_lived[] = {"witness", "demo", "init", "backup", "login"};
    static const char *changes[] = {"PYTHONPATH", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONWARNINGS", "PYTHONHASHSEED",
                                    "LD_PRELOAD"};
    size_t i;
    const char *locale = is_set("LC_ALL") ? getenv("LC_ALL") : is_set("LC_CTYPE") ? getenv("LC_CTYPE") : getenv("LANG");
    if (argc < 2) return 1;
    for (i = 0; i < sizeof long_lived / sizeof *long_lived; i++)
        if (!strcmp(argv[1], long_lived[i])) return 1;
    for (i = 0; i < sizeof changes / sizeof *changes; i++)
        if (is_set(changes[i])) return 1;
    return !locale || strcmp(locale, "C.UTF-8") != 0;
}

static int whole(int s, const char *octets, size_t left) {
    while (left) {
        ssize_t n = write(s, octets, left);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        octets += n;
        left -= (size_t)n;
    }
    return 0;
}

static int32_t number(int s) {
    int32_t value;
    size_t have = 0;
    while (have < sizeof value) {
        ssize_t n = read(s, (char *)&value + have, sizeof value - have);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            fputs("readied: the process that runs commands is gone\n", stderr);
            _exit(255);
        }
        have += (size_t)n;
    }
    return value;
}

static int send_all(int s, int argc, char **argv) {
    char folder[4096], head[256], control[CMSG_SPACE(3 * sizeof(int))] = {0};
    int streams[3] = {0, 1, 2}, count = 0, i;
    mode_t mask = umask(0);
    size_t size = 0;
    struct sigaction now;
    sigaction(SIGINT, NULL, &now);
    umask(mask);
    if (!getcwd(folder, sizeof folder)) return -1;
    while (environ[count]) size += strlen(environ[count++]) + 1;
    for (i = 1; i < argc; i++) size += strlen(argv[i]) + 1;
    snprintf(head, sizeof head, "%u %d %d %d %zu\n", (unsigned)mask, now.sa_handler == SIG_IGN, argc - 1, count,
             size + strlen(folder) + 1);
    struct iovec part = {head, strlen(head)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof streams);
    memcpy(CMSG_DATA(rights), streams, sizeof streams);
    if (sendmsg(s, &message, 0) != (ssize_t)part.iov_len) return -1;
    if (whole(s, folder, strlen(folder) + 1)) return -1;
    for (i = 1; i < argc; i++)
        if (whole(s, argv[i], strlen(argv[i]) + 1)) return -1;
    for (i = 0; i < count; i++)
        if (whole(s, environ[i], strlen(environ[i]) + 1)) return -1;
    return 0;
}

int main(int argc, char **argv) {
    static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct sigaction now, on = {.sa_handler = forward};
    sigset_t early, before;
    int s, status;
    size_t i;
    if (needs_the_real_one(argc, argv)) {
        execv(REAL, argv);
        return 127;
    }
    sigemptyset(&early);
    for (i = 0; i < sizeof forwarded / sizeof *forwarded; i++) sigaddset(&early, forwarded[i]);
    sigprocmask(SIG_BLOCK, &early, &before); /* they wait until there is somebody to hand them on to */
    strncpy(address.sun_path, SOCKET, sizeof address.sun_path - 1);
    s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (s < 0 || connect(s, (struct sockaddr *)&address, sizeof address) || send_all(s, argc, argv)) {
        perror("readied");
        return 255;
    }
    for (i = 0; i < sizeof forwarded / sizeof *forwarded; i++) {
        sigaction(forwarded[i], NULL, &now);
        if (now.sa_handler != SIG_IGN) sigaction(forwarded[i], &on, NULL);
    }
    child = number(s);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(0); /* only the command holds the streams, so that a reader that leaves is felt and a writer's end is seen */
    close(1);
    status = number(s);
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}
