# SAT, DeiT-S on CUB, with the cosine schedule that the official code computes (1e-4 to 1e-6, every iteration) but does
# not apply.
base = 'sat_deit-s_cub'
cells = {
    '': {},
    'cosine-lr': {
        'param_scheduler': [dict(type='CosineAnnealingLR', eta_min=1e-6, by_epoch=True, convert_to_iter_based=True)],
    },
}
