/* Where adapters and their runs live on this machine. Only paths: nothing is read or removed here.
 */
#ifndef WEFT_STORE_STORE_H
#define WEFT_STORE_STORE_H

#include "base/os.h"
#include "base/status.h"

/* $WEFT_HOME, else $XDG_DATA_HOME/weft, else $HOME/.local/share/weft; WEFT_ERR_IO if none is set.
 */
int store_root(char *path, size_t size, weft_error *err);

/* The paths of an adapter, its folder made if create. */
int store_adapter(const char *name, bool create, weft_adapter_paths *paths, weft_error *err);

/* Folders under adapters/, sorted; free with os_list_free. No store yet: an empty list. */
int store_list(os_list *list, weft_error *err);

#endif
