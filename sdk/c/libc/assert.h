// An assertion that fails tells the host its place before it ends the call.
#ifndef PACKHORSE_ASSERT_H
#define PACKHORSE_ASSERT_H
_Noreturn void ph_panic_at(const char *message, const char *file, int line);
#define assert(condition) ((condition) ? (void)0 : ph_panic_at("assertion failed: " #condition, __FILE__, __LINE__))
#endif
