# LocLoc on CUB by the paper's text, Figure 5: the threshold of certain foreground, on the mean attention of all blocks and
# heads. The figure's values are not in the text; the masks of a row are its own.
base = 'locloc_deit-s_cub_paper'
grid = {
    'stages.0.train_cfg.writer.delta1': {
        'delta1-0.05': 0.05,
        'delta1-0.1': 0.1,
        'delta1-0.2': 0.2,
        'delta1-0.3': 0.3,
        'delta1-0.5': 0.5,
        'delta1-0.75': 0.75,
        'delta1-0.9': 0.9,
    },
}
figure = dict(x='stages.0.train_cfg.writer.delta1', y='loc/gt_known', x_label='delta1')
