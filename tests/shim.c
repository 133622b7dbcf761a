/* A PKCS#11 module that stands before another one and spoils what it is told to; tests/shim.py compiles it.
 *
 * Environment: SHIM_MODULE, the real module; SHIM_ORDERS, a folder. A file in it named after a function, such as
 * C_Sign, is an order, read at each call:
 *   0xNUMBER [once]    answer with this code instead ("once": the order is gone after it)
 *   flip               C_Sign: the last octet of the signature comes out with a bit flipped
 *   hang               never return
 *   slow SECONDS       C_GenerateKeyPair: think for so long before it is done
 *   intrude            try what a worker must not do, and write NAME=ERRNO lines to the file "tried"
 *   flags 0xNUMBER     C_GetTokenInfo: set these flags as well
 *   claim TYPE VALUE   C_GetAttributeValue: the boolean attribute of this number (hex) reads so
 * Each C_Login, C_Sign, C_GenerateKeyPair and C_DestroyObject is written down as a line of the file "calls".
 *
 * PKCS#11 2.40 is declared here as far as it is needed: CK_FUNCTION_LIST as a version and an array of pointers.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef unsigned long CK;
typedef struct { unsigned char version[2]; void *of[68]; } functions;
typedef struct { CK type; void *value; CK length; } attribute;

enum { GET_FUNCTION_LIST = 3, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, LOGIN = 18, DESTROY_OBJECT = 22,
       GET_ATTRIBUTE_VALUE = 24, SIGN = 43, GENERATE_KEY_PAIR = 59 };
#define FLAGS_AT 96 /* of CK_TOKEN_INFO: label 32, manufacturer 32, model 16, serial 16 */

static functions *real, ours;

static const char *path(const char *name) {
    static __thread char whole[4096];
    snprintf(whole, sizeof whole, "%s/%s", getenv("SHIM_ORDERS"), name);
    return whole;
}

static void note(const char *name) {
    int file = open(path("calls"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dprintf(file, "%s\n", name);
    close(file);
}

static void tried(FILE *out, const char *what, int allowed) {
    fprintf(out, "%s=%d\n", what, allowed ? 0 : errno);
    errno = 0;
}

static void intrude(void) {
    FILE *out = fopen(path("tried"), "w");
    if (out == NULL) return;
    errno = 0;
    char *nothing[] = {"true", NULL};
    tried(out, "run a program", execv("/bin/true", nothing) == 0);
    pid_t child = fork();
    if (child == 0) _exit(0);
    tried(out, "fork", child > 0);
    tried(out, "signal the nursery", kill(getppid(), 0) == 0);
    tried(out, "trace the nursery", ptrace(PTRACE_ATTACH, getppid(), 0, 0) == 0);
    tried(out, "TCP", socket(AF_INET, SOCK_STREAM, 0) >= 0);
    tried(out, "UDP", socket(AF_INET, SOCK_DGRAM, 0) >= 0);
    tried(out, "Unix socket", socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
    tried(out, "code in memory", mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    int library = open(getenv("SHIM_MODULE"), O_RDONLY | O_CLOEXEC);
    tried(out, "code from a file", mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, library, 0) != MAP_FAILED);
    close(library);
    tried(out, "a file of the system", open("/etc/passwd", O_RDONLY) >= 0);
    tried(out, "the settings", open(getenv("SHIM_SECRET"), O_RDONLY) >= 0);
    fclose(out);
}

/* Carry out the order for a function; 1 with *code where it says what to answer. The order is left in `said`. */
static int ordered(const char *name, CK *code, char *said, size_t room) {
    said[0] = 0;
    FILE *order = fopen(path(name), "r");
    if (order == NULL) return 0;
    if (fgets(said, (int)room, order) == NULL) said[0] = 0;
    fclose(order);
    if (strncmp(said, "hang", 4) == 0) for (;;) sleep(60);
    if (strncmp(said, "intrude", 7) == 0) { unlink(path(name)); intrude(); return 0; }
    if (strncmp(said, "0x", 2) != 0) return 0;
    *code = strtoul(said, NULL, 16);
    if (strstr(said, "once") != NULL) unlink(path(name));
    return 1;
}

static CK login(CK session, CK user, unsigned char *pin, CK length) {
    CK code; char said[128];
    note("C_Login");
    if (ordered("C_Login", &code, said, sizeof said)) return code;
    return ((CK (*)(CK, CK, unsigned char *, CK))real->of[LOGIN])(session, user, pin, length);
}

static CK open_session(CK slot, CK flags, void *application, void *notify, CK *session) {
    CK code; char said[128];
    if (ordered("C_OpenSession", &code, said, sizeof said)) return code;
    return ((CK (*)(CK, CK, void *, void *, CK *))real->of[OPEN_SESSION])(slot, flags, application, notify, session);
}

static CK token_info(CK slot, unsigned char *info) {
    CK code; char said[128];
    if (ordered("C_GetTokenInfo", &code, said, sizeof said)) return code;
    code = ((CK (*)(CK, unsigned char *))real->of[GET_TOKEN_INFO])(slot, info);
    if (code == 0 && strncmp(said, "flags ", 6) == 0) {
        CK flags;
        memcpy(&flags, info + FLAGS_AT, sizeof flags);
        flags |= strtoul(said + 6, NULL, 16);
        memcpy(info + FLAGS_AT, &flags, sizeof flags);
    }
    return code;
}

static CK destroy(CK session, CK object) {
    note("C_DestroyObject");
    return ((CK (*)(CK, CK))real->of[DESTROY_OBJECT])(session, object);
}

static CK attributes(CK session, CK object, attribute *template, CK count) {
    CK code, type; char said[128]; int value;
    if (ordered("C_GetAttributeValue", &code, said, sizeof said)) return code;
    code = ((CK (*)(CK, CK, attribute *, CK))real->of[GET_ATTRIBUTE_VALUE])(session, object, template, count);
    if (code == 0 && sscanf(said, "claim %lx %d", &type, &value) == 2)
        for (CK at = 0; at < count; at++)
            if (template[at].type == type && template[at].value != NULL && template[at].length == 1)
                *(unsigned char *)template[at].value = (unsigned char)value;
    return code;
}

static CK sign(CK session, unsigned char *data, CK size, unsigned char *signature, CK *length) {
    CK code; char said[128];
    if (signature == NULL) /* only its length is asked */
        return ((CK (*)(CK, unsigned char *, CK, unsigned char *, CK *))real->of[SIGN])(session, data, size, NULL, length);
    note("C_Sign");
    int refuse = ordered("C_Sign", &code, said, sizeof said);
    CK done = ((CK (*)(CK, unsigned char *, CK, unsigned char *, CK *))real->of[SIGN])(session, data, size, signature, length);
    if (refuse) { /* an operation that failed is over (PKCS#11 2.40, section 5.11), and nothing came out of it */
        memset(signature, 0, *length);
        return code;
    }
    code = done;
    if (code == 0 && strncmp(said, "flip", 4) == 0) signature[*length - 1] ^= 1;
    return code;
}

static CK generate(CK session, void *how, attribute *public, CK publics, attribute *private, CK privates, CK *a, CK *b) {
    CK code; char said[128]; unsigned seconds;
    note("C_GenerateKeyPair");
    if (ordered("C_GenerateKeyPair", &code, said, sizeof said)) return code;
    if (sscanf(said, "slow %u", &seconds) == 1) while (seconds > 0) seconds = sleep(seconds);
    return ((CK (*)(CK, void *, attribute *, CK, attribute *, CK, CK *, CK *))real->of[GENERATE_KEY_PAIR])(
        session, how, public, publics, private, privates, a, b);
}

CK C_GetFunctionList(functions **list) {
    if (real == NULL) {
        void *module = dlopen(getenv("SHIM_MODULE"), RTLD_NOW | RTLD_LOCAL);
        CK (*theirs)(functions **) = module == NULL ? NULL : (CK (*)(functions **))dlsym(module, "C_GetFunctionList");
        if (theirs == NULL || theirs(&real) != 0) return 5; /* CKR_GENERAL_ERROR */
        ours = *real;
        ours.of[GET_FUNCTION_LIST] = C_GetFunctionList;
        ours.of[GET_TOKEN_INFO] = token_info;
        ours.of[OPEN_SESSION] = open_session;
        ours.of[LOGIN] = login;
        ours.of[DESTROY_OBJECT] = destroy;
        ours.of[GET_ATTRIBUTE_VALUE] = attributes;
        ours.of[SIGN] = sign;
        ours.of[GENERATE_KEY_PAIR] = generate;
    }
    *list = &ours;
    return 0;
}
