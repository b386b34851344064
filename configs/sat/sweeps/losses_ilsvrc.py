# SAT, DeiT-S on ILSVRC. Table 2, the losses: classification alone, with the area loss, with the normalization loss
# without smoothing; the base smooths.
base = 'sat_deit-s_ilsvrc'
cells = {
    'ce': {'model.head.map_losses.loss_area': None, 'model.head.map_losses.loss_norm': None},
    'ce-area': {'model.head.map_losses.loss_norm': None},
    'ce-area-norm': {'model.head.map_losses.loss_norm.kernel': None},
    '': {},
}
paper = {
    'sat_deit-s_ilsvrc_ce': {'loc/top1': 56.86, 'loc/top5': 66.67, 'loc/gt_known': 69.29},
    'sat_deit-s_ilsvrc_ce-area': {'loc/top1': 58.21, 'loc/top5': 68.36, 'loc/gt_known': 71.07},
    'sat_deit-s_ilsvrc_ce-area-norm': {'loc/top1': 59.86, 'loc/top5': 70.22, 'loc/gt_known': 72.78},
    'sat_deit-s_ilsvrc': {'loc/top1': 60.15, 'loc/top5': 70.52, 'loc/gt_known': 73.13},
}
