/* sseload: callers that cost next to nothing, and read how old each event is when it arrives.
 *
 *     sseload -p PORT [-u PATH] [-c CALLERS] [-t SECONDS] [-w SECONDS] [-s] [-b BYTES] [-m MODEL] [-k KEY] [-r MICROSECONDS]
 *             [-o FILE]
 *
 * CALLERS (1) keep-alive connections to 127.0.0.1:PORT each send POST PATH (/v1/messages) again and again, with a prompt of
 * BYTES (600), asking for a stream with -s, and read the whole answer. Connections are opened MICROSECONDS apart. What is
 * seen in the first -w SECONDS (0) counts nowhere, then -t SECONDS (4) are measured.
 *
 * With -o every answer goes into FILE as it came, so that somebody can hold a proxy's records against it: a line
 * "ID whole|cut STATUS BEGUN ENDED LENGTH" (the answer's x-clawproxy-id or "-", CLOCK_MONOTONIC in nanoseconds), LENGTH bytes of
 * body and a line feed. Callers then finish the answer at hand when the time is over, and a connection that is lost is not
 * opened again; when none is left, it ends. One line of JSON comes out:
 *
 *     answers, errors (connection lost within an answer), refused (status other than 200), events (errors and refused
 *     of the whole run with -o),
 *     answers_per_s, events_per_s, and, each as {"p50", "p99", "max"} in microseconds,
 *     total (request to end of answer), first (request to first byte of the body), age (an event, by ssegen's stamp);
 *     age_p99_each_s: the age's p99 of each whole second.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STAMP 22 /* "t=" and 20 digits */

/* Durations in buckets: 64 of equal width to each power of two, that is within 1.6 %. */
struct histogram {
    uint64_t bucket[64 * 64], count, max;
};

enum state { HEAD, COUNTED, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER };

struct caller {
    int fd;
    enum state state;
    uint64_t begun;
    size_t sent, left; /* of the request; of the body or the chunk */
    bool body_seen, refused, waits; /* waits: for the socket to take the rest of the request */
    char line[8192]; /* head, chunk size or trailer, as far as it has come */
    size_t line_used;
    char carry[STAMP - 1]; /* the payload's last bytes: a stamp may be cut in two */
    size_t carried;
    char id[64];
    int status;
    char *body; /* kept with -o only */
    size_t body_used, body_size;
};

static struct histogram total, first, age, lately;
static uint64_t answers, errors, refused, events;
static bool counting;
static char *request;
static size_t request_length;
static int poller, living;
static FILE *output;
static bool over;
static struct sockaddr_in address = {.sin_family = AF_INET};

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note(struct histogram *h, uint64_t ns)
{
    if (!counting)
        return;
    int shift = ns < 128 ? 0 : 57 - __builtin_clzll(ns);
    h->bucket[(uint64_t)shift * 64 + (ns >> shift)]++;
    h->count++;
    if (ns > h->max)
        h->max = ns;
}

/* In microseconds. */
static double quantile(const struct histogram *h, double q)
{
    uint64_t seen = 0, wanted = (uint64_t)(q * (double)h->count);
    for (uint64_t i = 0; i < 64 * 64; i++) {
        seen += h->bucket[i];
        if (seen > wanted)
            return (double)(i < 128 ? i : (i % 64 + 64) << (i / 64 - 1)) / 1e3;
    }
    return (double)h->max / 1e3;
}

static void watch(struct caller *c, int operation, bool write)
{
    struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, operation, c->fd, &e);
}

static void lost(struct caller *c);

static void push(struct caller *c)
{
    while (c->sent < request_length) {
        ssize_t n = send(c->fd, request + c->sent, request_length - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            c->waits = true;
            watch(c, EPOLL_CTL_MOD, true);
            return;
        }
        if (n < 0)
            return lost(c);
        c->sent += (size_t)n;
    }
    if (c->waits)
        watch(c, EPOLL_CTL_MOD, c->waits = false);
}

static void leave(struct caller *c)
{
    close(c->fd);
    c->fd = -1;
    living--;
}

/* Write an answer down; nothing of one that had no head. */
static void keep(struct caller *c, bool whole)
{
    if (!output || !c->status)
        return;
    fprintf(output, "%s %s %d %" PRIu64 " %" PRIu64 " %zu\n", *c->id ? c->id : "-", whole ? "whole" : "cut", c->status,
            c->begun, now(), c->body_used);
    fwrite(c->body, 1, c->body_used, output);
    putc('\n', output);
}

static void ask(struct caller *c)
{
    c->state = HEAD;
    c->sent = c->line_used = c->carried = c->body_used = 0;
    c->body_seen = c->refused = c->waits = false;
    c->status = *c->id = 0;
    c->begun = now();
    push(c);
}

static void dial(struct caller *c)
{
    int on = 1;
    living++;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) {
        perror("sseload: connect");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ioctl(c->fd, FIONBIO, &on);
    watch(c, EPOLL_CTL_ADD, false);
    ask(c);
}

static void lost(struct caller *c)
{
    errors += counting || output;
    if (output) {
        keep(c, false);
        leave(c);
    } else {
        leave(c);
        dial(c);
    }
}

static void answered(struct caller *c)
{
    answers += counting;
    refused += (counting || output) && c->refused;
    note(&total, now() - c->begun);
    keep(c, true);
    if (over)
        leave(c);
    else
        ask(c);
}

/* Count the stamps that begin in the first *limit* bytes of data and are whole. */
static void stamps(const char *data, size_t length, size_t limit, uint64_t arrived)
{
    const char *at = data, *end = data + length;
    while (end - at >= STAMP && (at = memmem(at, (size_t)(end - at), "t=", 2))) {
        if (end - at < STAMP || (size_t)(at - data) >= limit)
            return;
        uint64_t sent = 0;
        int i = 2;
        for (; i < STAMP && at[i] >= '0' && at[i] <= '9'; i++)
            sent = sent * 10 + (uint64_t)(at[i] - '0');
        if (i == STAMP) {
            events += counting;
            note(&age, arrived > sent ? arrived - sent : 0);
            note(&lately, arrived > sent ? arrived - sent : 0);
        }
        at += i;
    }
}

static void payload(struct caller *c, const char *data, size_t length, uint64_t arrived)
{
    if (!c->body_seen) {
        c->body_seen = true;
        note(&first, arrived - c->begun);
    }
    if (output) {
        if (c->body_used + length > c->body_size
            && !(c->body = realloc(c->body, c->body_size = (c->body_used + length) * 2)))
            abort();
        memcpy(c->body + c->body_used, data, length);
        c->body_used += length;
    }
    char seam[2 * STAMP];
    size_t more = length < STAMP - 1 ? length : STAMP - 1, joined = c->carried + more;
    memcpy(seam, c->carry, c->carried);
    memcpy(seam + c->carried, data, more);
    stamps(seam, joined, c->carried, arrived);
    stamps(data, length, length, arrived);
    if (length >= STAMP - 1) {
        memcpy(c->carry, data + length - (STAMP - 1), c->carried = STAMP - 1);
    } else {
        c->carried = joined < STAMP - 1 ? joined : STAMP - 1;
        memcpy(c->carry, seam + joined - c->carried, c->carried);
    }
}

/* What the head says of the body; false when the answer ends with it. */
static bool headed(struct caller *c)
{
    c->status = atoi(c->line + 9);
    c->refused = c->status != 200;
    char *length = strcasestr(c->line, "\r\ncontent-length:"), *id = strcasestr(c->line, "\r\nx-clawproxy-id:");
    if (id)
        sscanf(id + 18, " %63[^\r\n ]", c->id);
    if (strcasestr(c->line, "\r\ntransfer-encoding:")) {
        c->state = CHUNK_SIZE;
        return true;
    }
    c->state = COUNTED;
    c->left = length ? strtoul(length + 17, NULL, 10) : 0;
    return c->left > 0;
}

/* Gather bytes up to *end*, which is then part of c->line; false while it has not come. */
static bool gather(struct caller *c, const char **data, const char *stop, const char *end)
{
    while (*data < stop) {
        if (c->line_used == sizeof c->line - 1) {
            fprintf(stderr, "sseload: a line of more than %zu bytes\n", sizeof c->line);
            exit(1);
        }
        c->line[c->line_used++] = *(*data)++;
        size_t n = strlen(end);
        if (c->line_used >= n && !memcmp(c->line + c->line_used - n, end, n)) {
            c->line[c->line_used] = 0;
            c->line_used = 0;
            return true;
        }
    }
    return false;
}

/* Read an answer; false when it is over, or with it the connection as it was. */
static bool received(struct caller *c, const char *data, size_t length, uint64_t arrived)
{
    const char *stop = data + length;
    while (data < stop) {
        switch (c->state) {
        case HEAD:
            if (gather(c, &data, stop, "\r\n\r\n") && !headed(c))
                return false;
            break;
        case CHUNK_SIZE:
            if (gather(c, &data, stop, "\r\n")) {
                c->left = strtoul(c->line, NULL, 16);
                c->state = c->left ? CHUNK : TRAILER;
            }
            break;
        case CHUNK_END:
            if (gather(c, &data, stop, "\r\n"))
                c->state = CHUNK_SIZE;
            break;
        case TRAILER:
            if (gather(c, &data, stop, "\r\n") && !strcmp(c->line, "\r\n"))
                return false;
            break;
        case COUNTED:
        case CHUNK: {
            size_t n = (size_t)(stop - data) < c->left ? (size_t)(stop - data) : c->left;
            payload(c, data, n, arrived);
            data += n;
            if (!(c->left -= n)) {
                if (c->state == COUNTED)
                    return false;
                c->state = CHUNK_END;
            }
        }
        }
    }
    return true;
}

static void readable(struct caller *c)
{
    static char data[1 << 18];
    ssize_t n = recv(c->fd, data, sizeof data, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        return lost(c);
    if (n > 0 && !received(c, data, (size_t)n, now()))
        answered(c);
}

static void prepare(const char *path, bool stream, int bytes, const char *model, const char *key)
{
    char *prompt = malloc((size_t)bytes + 1), *body;
    for (int i = 0; i < bytes; i++)
        prompt[i] = "the quick brown fox jumps over a lazy dog "[i % 42];
    prompt[bytes] = 0;
    int n = asprintf(&body, "{\"model\":\"%s\",\"max_tokens\":1024,\"stream\":%s,"
                            "\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}",
                     model, stream ? "true" : "false", prompt);
    request_length = (size_t)asprintf(&request,
                                      "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                                      "Authorization: Bearer %s\r\nAnthropic-Version: 2023-06-01\r\n"
                                      "Content-Length: %d\r\n\r\n%s",
                                      path, ntohs(address.sin_port), key, n, body);
    free(body);
    free(prompt);
}

static void print(const char *name, const struct histogram *h)
{
    printf(",\"%s\":{\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name, quantile(h, .5), quantile(h, .99),
           (double)h->max / 1e3);
}

int main(int argc, char **argv)
{
    const char *path = "/v1/messages", *model = "claude-bench", *key = "sk-bench";
    int count = 1, bytes = 600, option;
    uint64_t ramp = 0;
    double seconds = 4, warm = 0;
    bool stream = false;
    while ((option = getopt(argc, argv, "p:u:c:t:w:sb:m:k:r:o:")) != -1) {
        switch (option) {
        case 'p': address.sin_port = htons((uint16_t)atoi(optarg)); break;
        case 'u': path = optarg; break;
        case 'c': count = atoi(optarg); break;
        case 't': seconds = atof(optarg); break;
        case 'w': warm = atof(optarg); break;
        case 's': stream = true; break;
        case 'b': bytes = atoi(optarg); break;
        case 'm': model = optarg; break;
        case 'k': key = optarg; break;
        case 'o':
            if (!(output = fopen(optarg, "wb")))
                return perror("sseload: -o"), 1;
            break;
        case 'r': ramp = strtoull(optarg, NULL, 10) * 1000; break;
        default: address.sin_port = 0;
        }
    }
    if (!address.sin_port || count < 1 || bytes < 0)
        return fprintf(stderr, "usage: sseload -p PORT [-u PATH] [-c CALLERS] [-t SECONDS] [-w SECONDS] [-s] [-b BYTES]"
                               " [-m MODEL] [-k KEY] [-r MICROSECONDS] [-o FILE]\n"), 2;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    prepare(path, stream, bytes, model, key);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct caller *callers = calloc((size_t)count, sizeof *callers);
    struct epoll_event ready[512];
    uint64_t begin = now(), counted = begin + (uint64_t)(warm * 1e9), end = counted + (uint64_t)(seconds * 1e9);
    int opened = 0;
    size_t seconds_seen = 0, seconds_most = (size_t)seconds + 2;
    double *each = calloc(seconds_most, sizeof *each);
    uint64_t second = counted + 1000000000u;
    for (uint64_t t; (t = now()) < end || (output && living);) {
        over = t >= end;
        counting = t >= counted && !over;
        if (output && opened == count && !living)
            break;
        if (t >= second && counting) {
            if (seconds_seen < seconds_most)
                each[seconds_seen++] = quantile(&lately, .99);
            lately = (struct histogram){0};
            second += 1000000000u;
        }
        if (opened < count && !over && t >= begin + (uint64_t)opened * ramp)
            dial(&callers[opened++]);
        uint64_t next = over ? t + 100000000u : opened < count ? begin + (uint64_t)opened * ramp : end, left = next > t ? next - t : 0;
        struct timespec wait = {.tv_nsec = (long)(left < 100000000u ? left : 100000000u)};
        int n = epoll_pwait2(poller, ready, 512, &wait, NULL);
        for (int i = 0; i < n; i++) {
            struct caller *c = ready[i].data.ptr;
            if (ready[i].events & EPOLLOUT)
                push(c);
            if (c->fd >= 0 && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                readable(c);
        }
    }
    uint64_t ended = now() < end ? now() : end;
    double measured = ended > counted ? (double)(ended - counted) / 1e9 : 1;
    printf("{\"answers\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"events\":%" PRIu64
           ",\"answers_per_s\":%.1f,\"events_per_s\":%.1f",
           answers, errors, refused, events, (double)answers / measured, (double)events / measured);
    print("total", &total);
    print("first", &first);
    print("age", &age);
    printf(",\"age_p99_each_s\":[");
    for (size_t i = 0; i < seconds_seen; i++)
        printf("%s%.1f", i ? "," : "", each[i]);
    putchar(']');
    printf("}\n");
    if (output && fclose(output))
        return perror("sseload: -o"), 1;
    return 0;
}
